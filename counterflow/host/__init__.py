"""The host's side of a board: `device.Device` trains it, checks it, saves it over a serial port."""
