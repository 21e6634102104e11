"""What a tool tells: figures, tables, checks of thresholds, the machine they are for."""
