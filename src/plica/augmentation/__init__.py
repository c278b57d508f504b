"""Reconstructions as a training view: labelled images in, data sets and transforms out."""
