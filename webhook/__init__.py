"""The receiver of callbacks. The web server's own process imports this package: it must bring nothing with it."""
