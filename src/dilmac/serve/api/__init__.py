"""What is said over HTTP: requests, answers, errors, and one page for each kind of endpoint."""
