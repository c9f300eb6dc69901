"""The only code that names an external engine; engines run as subprocesses."""
