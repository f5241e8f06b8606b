"""What should *we* do, and how sure can we be? A comparison on own data, from a labelled file to a verdict, a report and a winner to use."""
