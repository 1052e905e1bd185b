"""What an exchange needs in memory, loaded once for all exchange processes of a test run."""

from gambler_ai.paper_exchange import server
from gambler_ai.paper_exchange.calendar import nyse

nyse()
serve = server.serve
