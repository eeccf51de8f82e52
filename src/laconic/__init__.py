"""laconic: document classifiers that read only the tokens that matter."""
