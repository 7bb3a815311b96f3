"""The live tape: messages into Kafka, bars and trades out of it through the detectors, alerts back into it."""
