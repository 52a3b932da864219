"""能哨 Nengshao: the shared kernel — one vocabulary, a few ports, and the composition root."""
