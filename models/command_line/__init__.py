"""What all commands share: options, faults told in one line, figures for people and programs."""
