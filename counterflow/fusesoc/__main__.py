"""Print the folder that FuseSoC is to know: fusesoc library add counterflow `...`."""

from counterflow.fusesoc import FOLDER

print(FOLDER)
