"""Messages to programs and people: requests, answers, problems, the log, lines of the shell."""
