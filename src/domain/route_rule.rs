//! The trust rule in the `route` job of a workflow: the expression of `TRUSTED`, compared without white space.

/// The workflow that jitgate ships.
const SHIPPED: &str = include_str!("../../deploy/workflow/ci.yml");
/// The variable in it.
const SHIPPED_VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";
/// The associations in it.
const SHIPPED_ASSOCIATIONS: &str = r#"["OWNER","MEMBER","COLLABORATOR"]"#;
/// The key of the rule.
const KEY: &str = "TRUSTED:";

/// The comparison of a deployed workflow with the shipped rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Same,
    Different,
    /// The workflow has no key `TRUSTED`.
    Missing,
}

/// Compares the rule of a workflow with the shipped one, for the configured variable and associations.
#[must_use]
pub fn compare(workflow: &str, variable: &str, associations: &[String]) -> Compared {
    match of_workflow(workflow) {
        None => Compared::Missing,
        Some(rule) if Some(&rule) == expected(variable, associations).as_ref() => Compared::Same,
        Some(_) => Compared::Different,
    }
}

fn expected(variable: &str, associations: &[String]) -> Option<String> {
    let quoted: Vec<String> = associations.iter().map(|name| format!("\"{name}\"")).collect();
    let rule = of_workflow(SHIPPED)?;
    let rule = rule.replace(SHIPPED_VARIABLE, variable);
    Some(rule.replace(SHIPPED_ASSOCIATIONS, &format!("[{}]", quoted.join(","))))
}

/// Returns the expression of the first key `TRUSTED`, without white space outside of its strings.
fn of_workflow(workflow: &str) -> Option<String> {
    let at_key = |line: &&str| line.trim_start().starts_with(KEY);
    let key = workflow.lines().find(at_key)?;
    // A line is a part of its text, so its place is known.
    let start = workflow.find(key)? + key.find(KEY)? + KEY.len();
    let rest = workflow.get(start..)?;
    let next_key = rest.find("outputs:").unwrap_or(rest.len());
    let expression = rest.get(..next_key)?;
    let expression = expression.split_once("${{")?.1.split_once("}}")?.0;
    let mut is_in_string = false;
    let kept = expression.chars().filter(|letter| {
        is_in_string ^= *letter == '\'';
        is_in_string || !letter.is_whitespace()
    });
    Some(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn associations() -> Vec<String> {
        ["OWNER", "MEMBER", "COLLABORATOR"].map(str::to_owned).to_vec()
    }

    fn compared(workflow: &str) -> Compared {
        compare(workflow, SHIPPED_VARIABLE, &associations())
    }

    #[test]
    fn the_layout_of_a_rule_does_not_matter_and_its_text_does() {
        assert_eq!(compared(SHIPPED), Compared::Same);
        let rule = of_workflow(SHIPPED).expect("a rule");
        assert_eq!(compared(&format!("    TRUSTED: ${{{{ {rule} }}}}\n")), Compared::Same);
        for (from, to) in [
            ("&& github.event.sender.type == 'User'", ""),
            ("'pull_request'", "'pull_request_target'"),
            ("== 'true'", "== ' true'"),
            ("\"COLLABORATOR\"]", "\"COLLABORATOR\",\"NONE\"]"),
            ("&& !endsWith", "|| !endsWith"),
        ] {
            let changed = SHIPPED.replace(from, to);
            assert_ne!(changed, SHIPPED, "{from}");
            assert_eq!(compared(&changed), Compared::Different, "{from}");
        }
    }

    #[test]
    fn a_workflow_without_the_rule_is_recognized() {
        for text in [
            "",
            "jobs: {}",
            "# TRUSTED: ${{ true }}",
            "TRUSTED: true\noutputs:\n  a: ${{ true }}",
        ] {
            assert_eq!(compared(text), Compared::Missing, "{text}");
        }
    }

    #[test]
    fn the_configured_variable_and_associations_are_expected() {
        let owner = ["OWNER".to_owned()];
        let own = SHIPPED
            .replace(SHIPPED_VARIABLE, "POOL")
            .replace(SHIPPED_ASSOCIATIONS, r#"["OWNER"]"#);
        assert_eq!(compare(&own, "POOL", &owner), Compared::Same);
        assert_eq!(compare(&own, "POOL", &associations()), Compared::Different);
        assert_eq!(compare(&own, "OTHER", &owner), Compared::Different);
    }
}
