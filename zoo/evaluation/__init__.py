"""Numbers about a trained model: bounds, images, throughput."""
