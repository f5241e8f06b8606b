"""Models by name: where they come from, what they take, how they are loaded."""

import logging

# on a CPU bitsandbytes warns of kernels that speed up 4-bit models, which only a card runs here
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
