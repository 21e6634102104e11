"""What every measurement needs: the machine, turns on its CPUs, inputs, tables of figures."""
