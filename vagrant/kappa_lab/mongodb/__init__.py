"""The lab's data tier: a replica set of real mongod, and a stand-in for the router where no mongos is installed."""
