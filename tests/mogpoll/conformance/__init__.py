"""What every backend must do; tests do not depend on the backend unless they say so."""
