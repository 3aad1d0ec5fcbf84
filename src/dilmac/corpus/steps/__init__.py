"""What is done to documents: each step a file, in the order that the recipe says."""
