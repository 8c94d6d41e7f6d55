"""The parts of `agent.lab.replay`."""
