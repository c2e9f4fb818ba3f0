"""What a trained model makes of sound: reconstruction of masked spectrograms, concealment of lost packets."""
