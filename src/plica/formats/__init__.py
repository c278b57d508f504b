"""Files ⇄ Image and Latent: each format converts to our one convention in its own file."""
