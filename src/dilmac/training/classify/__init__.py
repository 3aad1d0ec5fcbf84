"""Classification: labels for whole texts, by a language model with a head for them."""
