"""What is measured: servers as processes on chosen CPUs, and what Linux tells of them."""
