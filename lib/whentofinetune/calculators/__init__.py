"""Cost and decision, in pure Python: the same file runs in a kernel, in a command and in the reader's browser."""
