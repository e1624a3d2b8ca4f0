"""Traces and metrics of turns, by OpenTelemetry. Imported only where `telemetry` is configured."""
