"""Networks: tensors in, tensors out. No patient, no file, no millimetre."""
