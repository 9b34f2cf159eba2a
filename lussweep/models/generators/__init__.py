"""Networks that make images, and how they are trained."""
