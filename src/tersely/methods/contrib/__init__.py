"""Methods without a committed result: each will be measured, and then comes back or goes."""
