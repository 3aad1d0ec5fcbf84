"""The models there are to start from: facts as data, and what they need to run."""
