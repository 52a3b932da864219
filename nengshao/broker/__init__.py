"""The broker as its operator sees it: its configuration and what that would lose, who may say what to whom,
and what it has refused by its own log. Text in, values out; who reads and writes files stands above."""
