"""Programs that are copied beside a winner as ``predict.py``; they import nothing of ours, and read ``arm.json`` of their own folder."""
