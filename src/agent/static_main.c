/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * standin-agent-static: the agent without the rest of standin, and without shared libraries, for
 * guests that have none that fit.
 */
#include "agent/agent.h"

int main(int argc, char **argv)
{
	return agent_main(argc, argv);
}
