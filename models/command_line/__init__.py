"""What all commands share: options, errors in one line, figures for people and programs."""
