"""The HTTP service: one module per noun, thin handlers over the ports."""
