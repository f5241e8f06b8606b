"""What is compared: one file a family, each with ``arms(bench)`` that gives the arms in the order in which they are run."""
