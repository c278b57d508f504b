"""Network + preparation + weights = codec: Image ⇄ Latent."""
