"""Feature maps of image pairs: computed in canonical batches, in an order that computes few of them twice, kept in bounded memory."""
