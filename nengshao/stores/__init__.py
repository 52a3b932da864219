"""Where readings, results and state are kept: one module or package per technology."""
