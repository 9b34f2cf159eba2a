"""What every training loop needs: frames at hand, precision, captured steps, weights."""
