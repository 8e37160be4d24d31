"""What every backend must do. No test in here knows which one it runs on."""
