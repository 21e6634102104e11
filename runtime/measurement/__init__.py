"""The tools of every measurement: the machine, turns on its CPUs, inputs, tables of figures."""
