"""The host's side of a board: `host.device.Device` trains, checks and saves it over a port."""
