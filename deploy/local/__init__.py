"""The whole system on one machine: embedded servers, local TLS, the sandbox and a supervisor."""
