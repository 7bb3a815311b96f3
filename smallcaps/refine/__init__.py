"""Room: bronze → silver. Rows are checked against rules, labelled with sessions, and keep their raw prices."""
