//! The ancestry of a process ("line"): the facts about its ancestors that decide its session (spec 5.1, 5.3).

use super::program::Program;
use super::types::{Process, Session};
use crate::programs::{Programs, Role};

/// The agent, terminal and kernel session of a process, its own or inherited: all of spec 5.1 but the environment.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    agent: Option<Agent>,
    terminal: Option<(u32, Process)>,
    /// The leader of the process's kernel session.
    pub(super) leader: Process,
}

/// The nearest agent of a line.
#[derive(Clone, Debug)]
struct Agent {
    /// The outermost agent of the same program in an unbroken line of parents.
    session: Process,
    program: Program,
    /// The process is the agent itself, or only sandbox helpers are between the two.
    unbroken: bool,
}

impl Line {
    /// The line of a process whose parent has the line `above`. `leader` leads the process's kernel session. `tty` is the
    /// device number of its terminal, 0 for none.
    pub(super) fn below(
        above: Option<&Line>,
        process: Process,
        leader: Process,
        tty: u32,
        program: &Program,
        programs: &Programs,
    ) -> Line {
        let agent_above = above.and_then(|above| above.agent.as_ref());
        let agent = if program.plays(programs, Role::Agent) {
            let outer = agent_above
                .filter(|outer| outer.unbroken && outer.program.is_same_agent(program, programs));
            Some(Agent {
                session: outer.map_or(process, |outer| outer.session),
                program: program.clone(),
                unbroken: true,
            })
        } else {
            let in_sandbox = program.plays(programs, Role::SandboxHelper);
            agent_above.map(|agent| Agent {
                unbroken: agent.unbroken && in_sandbox,
                ..agent.clone()
            })
        };
        let terminal = match tty {
            0 => above.and_then(|above| above.terminal),
            tty => Some((tty, leader)),
        };
        Line {
            agent,
            terminal,
            leader,
        }
    }

    /// The session of a process with this line; `None` if only its user is known.
    pub(super) fn session(&self) -> Option<Session> {
        if let Some(agent) = &self.agent {
            return Some(Session::Agent(agent.session));
        }
        if let Some((tty, leader)) = self.terminal {
            return Some(Session::Terminal { tty, leader });
        }
        // All leaders outside the daemon's PID namespace have the pid 0 here, so 0 identifies no session.
        (self.leader.pid != 0).then_some(Session::Kernel(self.leader))
    }
}
