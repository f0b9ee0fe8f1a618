"""Parts of the losses that treat each output by itself."""
