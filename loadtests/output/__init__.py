"""The output of a tool: figures, tables, checks of thresholds, the machine."""
