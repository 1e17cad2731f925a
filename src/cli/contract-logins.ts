/** The documents of the commands that make, lend, end and carry logins; see contract.ts. */
