"""Workers as processes: a supervisor owns the sockets, starts, replaces and reaps them."""
