"""A run that is given away: what of it is kept with the code, and how another machine checks it."""
